"""The commands of `touchstone`, one file a family. Each command does what one service function does, and says so."""
