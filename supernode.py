"""Run the supernode: python supernode.py [--config FILE]"""

from fluffy.entry import find_python

if __name__ == "__main__":
    find_python(__file__)
    from fluffy.apps.supernode import main

    main()
