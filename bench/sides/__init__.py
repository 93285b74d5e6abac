"""Who is measured. Each in a process of its own: two wasmtimes in one disturb each other."""
