"""Where packets and frames come from: sockets, captures, audio files. Each yields batches."""
