"""Reads the configuration directory into frozen values, or says everything that is wrong with it."""
