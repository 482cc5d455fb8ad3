"""Neutral knowledge about text and media that several platforms share; pure, imports core only."""
