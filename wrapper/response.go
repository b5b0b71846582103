package wrapper

import "reflect"

// isolable tells whether rsp can be decoded apart and moved into place later:
// it must be a pointer to something.
func isolable(rsp any) bool {
	v := reflect.ValueOf(rsp)
	return v.Kind() == reflect.Pointer && !v.IsNil()
}

// freshLike returns a new, empty value of the type that rsp points to.
func freshLike(rsp any) any {
	return reflect.New(reflect.TypeOf(rsp).Elem()).Interface()
}

// moveInto moves the reply that attempt decoded into the caller's response. It
// is a shallow copy: attempt is not used again.
func moveInto(rsp, attempt any) {
	reflect.ValueOf(rsp).Elem().Set(reflect.ValueOf(attempt).Elem())
}
