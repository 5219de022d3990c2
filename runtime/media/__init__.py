"""What a media file says of itself, read by our own code before any decoder sees the file.

Nothing that the file says is believed: it is only what may be refused early, in words. The decoder's process counts
and measures again."""
