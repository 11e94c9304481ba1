package dialect

// Type is what a field holds.
type Type uint8

const (
	AnyType Type = iota // anything, not looked into
	ObjectType
	MapType
	ListType
	StringType
	IntType
	NumberType
	BoolType
	DurationType    // "1.5s", "10ms"
	IntOrStringType // a port by number or name
)

// Schema is the shape of a field and of all below it. Schemas may refer to themselves.
type Schema struct {
	Type     Type
	Fields   map[string]*Schema // of an object
	Elem     *Schema            // of a map's or list's elements
	Enum     []string           // strings that are allowed; nil: any
	Required []string           // of an object
}
