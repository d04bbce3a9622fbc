"""Where clients are: addresses to locations, and distances between locations and regions."""
