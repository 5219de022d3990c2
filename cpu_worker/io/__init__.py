"""What a CPU worker reads and writes: sources of media, versions, prepared objects, and the process that decodes."""
