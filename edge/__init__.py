"""The reverse proxy of one region: request in, nearest free server of the right pool, response back."""
