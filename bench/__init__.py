"""Call overhead side by side with a peer: `make bench`."""
