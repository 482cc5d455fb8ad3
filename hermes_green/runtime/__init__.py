"""The living middle: children, turns and deliveries, each greenlet owned and bounded."""
