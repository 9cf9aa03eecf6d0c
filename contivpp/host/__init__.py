"""The machine itself: standard library only, so that Ansible can carry it to a node that has nothing yet."""
