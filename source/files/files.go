// Package files is the source of objects in files: YAML and JSON, in directories that it watches.
//
// It promises: a change is an event well under a second later; a file that can't be read leaves the objects of its last good
// content as they are, with an Error finding that says where; a file that is gone and back at once, as editors and mounted
// ConfigMaps do, deletes nothing.
package files
