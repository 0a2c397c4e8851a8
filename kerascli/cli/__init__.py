"""Commands of the `kerascli` program: one file each; heavy imports wait until a command runs."""
