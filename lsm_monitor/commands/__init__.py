"""What the sub-commands of `lsm-monitor` do, one file each; `cli` only parses."""
