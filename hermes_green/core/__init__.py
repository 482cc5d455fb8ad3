"""The pure middle: values, errors, the state table and the seams. Standard library only."""
