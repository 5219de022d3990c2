"""How tests prepare media: a decoder behind its layers, and programs in FFmpeg's place that do harm."""
