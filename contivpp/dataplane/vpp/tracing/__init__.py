"""The packet trace of VPP for one flow: what is to be traced, how it begins and ends, what VPP prints."""
