"""Commands of the `kerascli` program, one file each; torch and other slow imports wait until a command runs."""
