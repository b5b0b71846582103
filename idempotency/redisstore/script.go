package redisstore

import (
	"crypto/sha1" //nolint:gosec // it is how Redis names scripts
	_ "embed"     // the scripts
	"encoding/hex"
)

//go:embed claim.lua
var claimSource string

//go:embed complete.lua
var completeSource string

//go:embed renew.lua
var renewSource string

//go:embed release.lua
var releaseSource string

//go:embed watch.lua
var watchSource string

//go:embed show.lua
var showSource string

//go:embed resolve.lua
var resolveSource string

// script is run by its hash, and by its source where the server does not know
// it yet. Of the commands of a script that write only the first can fail, so that
// an error it answers with proves that it has changed nothing.
type script struct{ source, hash string }

type scripts struct{ claim, complete, renew, release, watch, show, resolve script }

func newScripts() scripts {
	return scripts{
		claim: newScript(claimSource), complete: newScript(completeSource),
		renew: newScript(renewSource), release: newScript(releaseSource),
		watch: newScript(watchSource), show: newScript(showSource), resolve: newScript(resolveSource),
	}
}

func newScript(source string) script {
	sum := sha1.Sum([]byte(source)) //nolint:gosec // it is how Redis names scripts
	return script{source: source, hash: hex.EncodeToString(sum[:])}
}
