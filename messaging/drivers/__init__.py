"""Storage drivers, one per kind of pool URI."""
