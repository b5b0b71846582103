// Package traces writes the spans of a program into a file, for whoever wants to read them
// without a collector.
package traces

import (
	"context"
	"errors"
	"os"

	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/oncemore-dev/oncemore/examples/internal/setting"
	"github.com/oncemore-dev/oncemore/telemetry"
)

// Variable is the environment variable that names the file.
const Variable = "TRACES"

// permission lets its owner alone read the file: spans tell keys and addresses.
const permission = 0o600

// File is a file of spans, one JSON object on each line. It is safe for concurrent use.
type File struct {
	provider *sdk.TracerProvider
	file     *os.File
}

// Open appends every span of a program to a file as it ends, so that a program that is killed loses
// none that had ended. Without a path there is no file, and OpenTelemetry's global provider gets
// the spans, which keeps none unless the program sets one. The error is a *setting.Error.
func Open(program, path string) (*File, error) {
	if path == "" {
		return new(File), nil
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, permission)
	if err != nil {
		return nil, &setting.Error{Name: Variable, Value: path, Allowed: "unset, or a file that can be written: " + err.Error()}
	}
	exporter, err := stdouttrace.New(stdouttrace.WithWriter(file))
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	who := resource.NewWithAttributes(semconv.SchemaURL, semconv.ServiceName(program))
	return &File{provider: sdk.NewTracerProvider(sdk.WithSyncer(exporter), sdk.WithResource(who)), file: file}, nil
}

// Options are what makes a Telemetry write to the file.
func (f *File) Options() []telemetry.Option {
	if f.provider == nil {
		return nil
	}
	return []telemetry.Option{telemetry.WithTracerProvider(f.provider)}
}

// Close ends it.
func (f *File) Close() error {
	if f.provider == nil {
		return nil
	}
	return errors.Join(f.provider.Shutdown(context.Background()), f.file.Close())
}
