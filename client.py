"""The REPL, or one command: python client.py [COMMAND ARGS...]"""

from fluffy.entry import find_python

if __name__ == "__main__":
    find_python(__file__)
    from fluffy.apps.client import main

    main()
