"""python -m kerascli"""

from kerascli.cli.app import main

main()
