"""Where servers are found that the fleet's file does not list: in DNS, and in files beside it."""
