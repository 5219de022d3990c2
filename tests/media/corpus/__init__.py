"""Hostile and odd media, one file a trick, made by scripts: no file of it lies in the repository, none is fetched.

`python -m tests.media.corpus FOLDER FFMPEG` writes all of it and prints what must happen to each. The same binary
writes the same bytes each time."""
