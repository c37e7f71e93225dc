# Short names for what the scripts do; CI calls the same.

.PHONY: check test drill deb

check:
	.ci/run

test:
	cargo test

drill:
	cargo run --release -- drill

deb:
	packaging/build-deb
