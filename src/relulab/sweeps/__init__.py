"""Many runs, on many workers, into files that can be read while they are written."""
