"""Run one node: python server.py NAME [--config FILE]"""

from fluffy.entry import find_python

if __name__ == "__main__":
    find_python(__file__)
    from fluffy.apps.server import main

    main()
