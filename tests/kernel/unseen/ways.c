// Ways to execute a program (the second argument) from where no mark can be. Each ends with the program's status.

#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t size;

static char *content(const char *path) {
    int file = open(path, O_RDONLY);
    struct stat about;
    if (file < 0 || fstat(file, &about)) err(99, "%s", path);
    size = about.st_size;
    char *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
    if (bytes == MAP_FAILED) err(99, "mmap");
    return bytes;
}

static void fill(int file, const char *path) {
    const char *bytes = content(path);
    if (write(file, bytes, size) != (ssize_t)size) err(99, "write");
}

static int memfd(const char *path, unsigned flags) {
    int file = syscall(SYS_memfd_create, "way", flags);
    if (file < 0) err(99, "memfd_create");
    fill(file, path);
    return file;
}

static void run(int directory, const char *path) {
    char *arguments[] = {"way", NULL}, *none[] = {NULL};
    syscall(SYS_execveat, directory, path, arguments, none, *path ? 0 : 0x1000);
    err(98, "execveat");
}

static void run_mapping(char *bytes, const char *path) {
    char name[64];
    memcpy(bytes, content(path), size);
    size_t pages = (size + 4095) & ~4095UL;
    snprintf(name, sizeof name, "/proc/self/map_files/%lx-%lx", (long)bytes, (long)(bytes + pages));
    run(AT_FDCWD, name);
}

int main(int count, char **words) {
    if (count < 3) return 99;
    const char *way = words[1], *path = words[2];
    if (!strcmp(way, "memfd")) run(memfd(path, 1), "");
    if (!strcmp(way, "script")) run(memfd(path, 0), "");
    if (!strcmp(way, "numbered")) {
        char name[64];
        snprintf(name, sizeof name, "/proc/self/fd/%d", memfd(path, 0));
        run(AT_FDCWD, name);
    }
    if (!strcmp(way, "descriptor")) {
        char name[64];
        snprintf(name, sizeof name, "/proc/%d/fd/%d", getpid(), memfd(path, 0));
        run(AT_FDCWD, name);
    }
    if (!strcmp(way, "anonymous")) {
        content(path);
        run_mapping(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), path);
    }
    if (!strcmp(way, "segment")) {
        content(path);
        int segment = shmget(IPC_PRIVATE, size, IPC_CREAT | 0700);
        char *bytes = shmat(segment, NULL, 0);
        shmctl(segment, IPC_RMID, NULL);
        run_mapping(bytes, path);
    }
    if (!strcmp(way, "detached")) {
        int made = syscall(430, "tmpfs", 0);
        if (made < 0 || syscall(431, made, 6, NULL, NULL, 0)) err(99, "fsopen");
        int mounted = syscall(432, made, 0, 0);
        if (mounted < 0) err(99, "fsmount");
        int file = openat(mounted, "x", O_CREAT | O_WRONLY, 0755);
        fill(file, path);
        close(file);
        run(mounted, "x");
    }
    if (!strcmp(way, "huge")) {
        // In pages of 2 MiB; 77 where there are none.
        int file = syscall(SYS_memfd_create, "way", 4);
        char name[64], *bytes = MAP_FAILED;
        if (file >= 0 && !ftruncate(file, 2 << 20))
            bytes = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (bytes == MAP_FAILED) return 77;
        const char *script = content(path);
        memcpy(bytes, script, size);
        munmap(bytes, 2 << 20);
        snprintf(name, sizeof name, "/proc/self/fd/%d", file);
        run(AT_FDCWD, name);
    }
    if (!strcmp(way, "lent")) {
        // Executes memory of another process: our own mappings end with the exec.
        const char *script = content(path);
        char name[64], *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        memcpy(bytes, script, size);
        pid_t lender = fork();
        if (!lender) {
            sleep(2);
            _exit(0);
        }
        size_t pages = (size + 4095) & ~4095UL;
        snprintf(name, sizeof name, "/proc/%d/map_files/%lx-%lx", lender, (long)bytes, (long)(bytes + pages));
        run(AT_FDCWD, name);
    }
    if (!strcmp(way, "lazy")) {
        // From a tmpfs that was mounted on a directory of its own, and is nowhere any more.
        const char *place = words[3];
        if (mkdir(place, 0755) || mount("t", place, "tmpfs", 0, NULL)) err(99, "mount");
        int mounted = open(place, O_PATH);
        char inside[300];
        snprintf(inside, sizeof inside, "%s/x", place);
        int file = open(inside, O_CREAT | O_WRONLY, 0755);
        fill(file, path);
        close(file);
        if (umount2(place, MNT_DETACH) || rmdir(place)) err(99, "umount");
        snprintf(inside, sizeof inside, "/proc/self/fd/%d/x", mounted);
        run(AT_FDCWD, inside);
    }
    if (!strcmp(way, "burst")) {
        // Executes from a memfd again and again. Says how often it ran.
        int ran = 0, tries = atoi(words[3]);
        for (int index = 0; index < tries; index++) {
            pid_t child = fork();
            if (!child) run(memfd(path, 1), "");
            int status;
            waitpid(child, &status, 0);
            ran += WIFEXITED(status) && WEXITSTATUS(status) == 0;
        }
        printf("%d\n", ran);
        return 0;
    }
    if (!strcmp(way, "race")) {
        // Mounts a tmpfs on a directory and executes from it at once: again and again. Says how often it ran.
        int ran = 0, tries = atoi(words[4]);
        for (int index = 0; index < tries; index++) {
            char place[256], program[300];
            snprintf(place, sizeof place, "%s/%d", words[3], index);
            snprintf(program, sizeof program, "%s%s", place, strrchr(path, '/'));
            mkdir(place, 0755);
            pid_t child = fork();
            if (!child) {
                const char *bytes = content(path);
                if (mount("t", place, "tmpfs", 0, NULL)) err(99, "mount");
                int file = open(program, O_CREAT | O_WRONLY, 0755);
                if (write(file, bytes, size) != (ssize_t)size) err(99, "write");
                close(file);
                run(AT_FDCWD, program);
            }
            int status;
            waitpid(child, &status, 0);
            ran += WIFEXITED(status) && WEXITSTATUS(status) == 0;
            umount2(place, MNT_DETACH);
        }
        printf("%d\n", ran);
        return 0;
    }
    return 99;
}
