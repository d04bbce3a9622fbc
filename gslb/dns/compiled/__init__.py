"""The compiled loop, which repeats over UDP what Python answered before; absent without a C compiler."""
