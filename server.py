"""Run one node: python server.py NAME [--config FILE]"""

from fluffy.apps.server import main

if __name__ == "__main__":
    main()
