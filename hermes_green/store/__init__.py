"""The durable middle: what was taken in is answered or dead-lettered, across crashes."""
