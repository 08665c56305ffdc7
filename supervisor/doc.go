// Package supervisor is the life of services.
package supervisor
