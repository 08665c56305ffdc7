// Package cgroup gives each service a cgroup of its own, of version 2, where
// zinit may make some.
//
// Words. Own is the cgroup that zinit was started in. The tree is the directory
// zinit.PID below it, PID being the keeper's, or zinit.PID-2 and on where another
// namespace's keeper of that number is in it. In it are self, a leaf for keeper
// and server, because a cgroup that hands out controllers holds no processes,
// and NAME.svc for each service; the suffix keeps a service called self apart.
//
// Promises. Everything here asks a file system of the kernel's, which does not
// hang. What cannot be had (no tree, no controller, an older kernel) is an
// error that says so, and never a reason not to start a service. A cgroup
// without any controller still ends a service whole and tells when nobody is
// left. Nothing is kept between calls but paths: a successor that finds the
// same tree goes on.
//
// Sources: cgroups(7), Documentation/admin-guide/cgroup-v2.rst.
package cgroup
