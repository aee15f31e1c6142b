export GOCACHE="$HOME/cache" GOPATH="$HOME/go" GOFLAGS=-mod=mod GOTOOLCHAIN=local
printf 'module small\n\ngo 1.19\n' > go.mod
printf 'package main\n\nfunc two() int { return 2 }\n\nfunc main() { c := make(chan int); go func() { c <- two() }(); println(<-c) }\n' > main.go
printf 'package main\n\nimport "testing"\n\nfunc TestTwo(t *testing.T) {\n\tif two() != 2 {\n\t\tt.Fatal()\n\t}\n}\n' > main_test.go
go build -o small . && [ "$(./small 2>&1)" = 2 ]
go vet ./... && go test ./... > /dev/null
echo done
