"""Speed, each number beside a reference measured in the same run on the same machine: `make bench`."""
