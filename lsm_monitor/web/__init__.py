"""The page: its files, its JSON API, who may use it. Served on the daemon's HTTP port."""
