//! The first line of a script, as the kernel's binfmt_script reads it.

/// So many bytes of a file are looked at (BINPRM_BUF_SIZE, Linux 5.1 and later). A shorter file ends with NULs.
pub(in crate::identify) const HEAD: usize = 256;

/// The interpreter that a file with this beginning names; `None`: it is no script.
///
/// A line that does not end within these bytes counts where the name does; the kernel refuses a name that is cut off.
pub(in crate::identify) fn interpreter(head: &[u8]) -> Option<&[u8]> {
    let line = head.strip_prefix(b"#!")?;
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let start = line.iter().position(|byte| !is_blank(*byte))?;
    let name = line.get(start..)?;
    let end = name.iter().position(|byte| is_blank(*byte) || *byte == 0).unwrap_or(name.len());
    name.get(..end).filter(|name| !name.is_empty())
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_first_word_of_the_line() {
        let cases: [(&[u8], Option<&[u8]>); 12] = [
            (b"#!/bin/sh\necho", Some(b"/bin/sh")),
            (b"#! \t/bin/sh -e x\n", Some(b"/bin/sh")),
            (b"#!/bin/sh\t-e\n", Some(b"/bin/sh")),
            (b"#!/bin/sh\0\0\0", Some(b"/bin/sh")),
            (b"#!/bin/sh", Some(b"/bin/sh")),
            (b"#!/bin/a\rb\n", Some(b"/bin/a\rb")),
            (b"#!sh\n", Some(b"sh")),
            (b"#!\n/bin/sh\n", None),
            (b"#!  \n", None),
            (b"#!\0/bin/sh\n", None),
            (b" #!/bin/sh\n", None),
            (b"\x7FELF", None),
        ];
        for (head, expected) in cases {
            assert_eq!(interpreter(head), expected, "{head:?}");
        }
    }
}
