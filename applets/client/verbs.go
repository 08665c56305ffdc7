package client

// verbs is every command, in the order in which help lists them.
func (s *session) verbs() []*command {
	return []*command{
		s.listVerb(), s.statusVerb(), s.startVerb(), s.stopVerb(), s.restartVerb(), s.killVerb(),
		s.startAllVerb(), s.stopAllVerb(), s.deleteAllVerb(), s.whyVerb(), s.treeVerb(), s.graphVerb(), s.logsVerb(), s.eventsVerb(), s.bootVerb(), s.waitVerb(),
		s.statsVerb(), s.childrenVerb(), s.debugStateVerb(), s.reloadVerb(), s.checkVerb(), s.completionVerb(),
		s.addVerb(), s.addServiceVerb(), s.removeVerb(), s.setVerb(), s.getVerb(), s.editVerb(),
		s.enableVerb("enable", "have services start at boot"), s.enableVerb("disable", "have services not start at boot"),
		s.pingVerb(), s.versionVerb(), s.upgradeVerb(), s.endVerb("shutdown", "stop everything in order and end zinit"),
		s.endVerb("poweroff", "stop everything in order and power the machine off"),
		s.endVerb("reboot", "stop everything in order and reboot the machine"),
		s.endVerb("halt", "stop everything in order and halt the machine"), s.helpVerb(),
	}
}

// example is the description of a verb: how it looks when it is used.
func example(lines string) string { return "Example:\n" + lines }
