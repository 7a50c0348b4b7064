"""Images and parallel texts: where their files are, how they are checked, decoded, encoded and batched."""
