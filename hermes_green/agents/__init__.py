"""Agents: whatever answers a turn."""
