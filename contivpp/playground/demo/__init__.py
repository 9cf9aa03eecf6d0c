"""Looking at a playground from the controller: who reaches whom, and a shell in a pod."""
