"""Call overhead side by side with a peer, providers in Rust and in Python: `make bench`."""
