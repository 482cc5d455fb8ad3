"""The wire: WebSocket links and HTTP calls, with a deadline on every wait."""
