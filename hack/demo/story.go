package main

import (
	"context"
	"fmt"
	"slices"
)

// What is typed, where the relay is, and the files in which the phones have their keys.
const (
	password  = "correct-horse-battery" // as in config/samples/relayuser-password.yaml
	relayHost = "asp1.example.com"      // as in config/samples/relayserver.yaml
	oldPhone  = "old-phone.pem"
	newPhone  = "new-phone.pem"
)

// story is the manual's. The cluster's administrator installs; then it is about alice, who administers the
// relay, and taro, who uses it.
func story(c *cluster) []step {
	return slices.Concat(installation(), firstLogin(), refusals(c), diagnosis(c), reset(), copies(), afterwards(), history(c))
}

func installation() []step {
	return []step{
		{"The cluster's administrator installs Tegata: the kinds, the manager's role, the policies.", []act{
			run("kubectl --context=admin apply --server-side -k config/crd", says("relayusers.tegata.dev serverside-applied")),
			run("kubectl --context=admin create namespace tegata-system"),
			run("kubectl --context=admin apply -k config/rbac", says("clusterrole.rbac.authorization.k8s.io/tegata-manager created")),
			run("kubectl --context=admin apply -k config/policies", says("validatingadmissionpolicy.admissionregistration.k8s.io")),
			run("kubectl --context=admin apply -k config/policies/stamp", says("mutatingadmissionpolicy.admissionregistration.k8s.io")),
			run("kubectl --context=admin apply -f hack/demo/alice.yaml", says("rolebinding.rbac.authorization.k8s.io/alice-relay-administrator created")),
			run("kubectl --context=admin wait crd --for=condition=Established --all --timeout=30s"),
		}},
		{"The manager starts, as the service account tegata-manager with that role and no other.", []act{startManager}},
		{"The history server starts, and the API server forwards to it what is asked of history.tegata.dev. There is no Pod here: the Service is an ExternalName.", []act{
			run("kubectl --context=admin apply -k config/history", says("clusterrole.rbac.authorization.k8s.io/tegata-history-reader created")),
			startHistory,
			registerHistory,
			run("kubectl --context=admin wait apiservice/v1alpha1.history.tegata.dev --for=condition=Available --timeout=60s"),
		}},
	}
}

func firstLogin() []step {
	return []step{
		{"From here on, kubectl is alice, who administers the relays of one namespace. She adds a relay and a user.", []act{
			run(`kubectl auth whoami -o jsonpath='{.status.userInfo.username}{"\n"}'`, says("alice")),
			run("kubectl apply -f config/samples/relayserver.yaml", says("relayserver.tegata.dev/asp1 created")),
			run("kubectl apply -f config/samples/relayuser-password.yaml -f config/samples/relayuser.yaml", says("relayuser.tegata.dev/taro created")),
			run("kubectl wait relayserver/asp1 relayuser/taro --for=condition=Ready --timeout=30s"),
		}},
		{"The relay's sidecar starts, as the service account that the manager has made for it.", []act{
			startSidecar,
			run("kubectl wait relayserver/asp1 --for=condition=SidecarsLive --timeout=30s"),
		}},
		{"taro logs in from his phone for the first time. The phone makes a key, and signs a challenge. That binds it to him.", []act{
			taro(oldPhone).succeeds(`"slot":"mobile","enrolled":true`),
			run("kubectl get relayusers", says("taro asp1 True"), says("Registered")),
			run(`kubectl get relayuser taro -o jsonpath='{.status.slots[?(@.slot=="mobile")].binding.kind}{"\n"}'`, says("Proof")),
		}},
	}
}

// refusals saves three replies, to compare them.
func refusals(c *cluster) []step {
	wrongPassword, unknownUser, anotherPhone := taro(oldPhone), taro(oldPhone), taro(newPhone)
	wrongPassword.password, wrongPassword.saveTo = "wrong-horse-battery", c.file("wrong-password")
	unknownUser.user, unknownUser.saveTo = "jiro", c.file("unknown-user")
	anotherPhone.saveTo = c.file("another-phone")
	japanese := unknownUser
	japanese.language, japanese.saveTo = "ja", ""
	return []step{
		{"A wrong password, a user whom nobody knows, and another phone with the right password: all get the same 293.", []act{
			wrongPassword.isRefused(), unknownUser.isRefused(), anotherPhone.isRefused(),
		}},
		{"The three replies are the same to the byte, but for the date and the correlation ID. They tell nothing.", []act{
			run("cd "+c.dir+` && for reply in wrong-password unknown-user another-phone; do
    sed -e '/^Date:/d' -e 's/"correlationID":"[^"]*"/"correlationID":""/' $reply | cksum
  done`, sameLines(3)),
		}},
		{"Whoever prefers Japanese is refused in Japanese.", []act{japanese.isRefused("お問い合わせコード:293")}},
	}
}

func diagnosis(c *cluster) []step {
	const failures = `kubectl get relayuser taro -o jsonpath='{range .status.recentFailures[*]}{.reason}{"\t"}{.count}{"\t"}{.correlationID}{"\n"}{end}'`
	return []step{
		{"alice sees what the last failure was, and by jsonpath all recent ones with their correlation IDs.", []act{
			run("kubectl wait relayuser/taro --for=jsonpath='{.status.failureCount}'=2 --timeout=10s"),
			run("kubectl get relayusers -o wide", says("DeviceMismatch")),
			run(failures, says("DeviceMismatch 1"), says("PasswordMismatch 1")),
		}},
		{"Nobody is called jiro, so no object shows that attempt. The sidecar's log does, under its correlation ID.", []act{
			run(fmt.Sprintf(`grep -o '"correlationID":"[^"]*"' %s | grep -F -f - %s`, c.file("unknown-user"), c.file("logs/sidecar.log")),
				says(`"reason":"UnknownUser"`)),
		}},
		{"A reset would help, and the user's condition says how.", []act{
			run("kubectl wait relayuser/taro --for=condition=ResetRecommended --timeout=10s"),
			run(`kubectl get relayuser taro -o jsonpath='{.status.conditions[?(@.type=="ResetRecommended")].message}{"\n"}'`, says("kind")),
			runExpecting(7, "kubectl relay why taro", says("kubectl relay reset taro --slot mobile")),
		}},
	}
}

func reset() []step {
	return []step{
		{"She resets the phone, by a file as it would be in Git.", []act{
			run("kubectl apply -f config/samples/devicereset.yaml", says("created")),
			run("kubectl wait -f config/samples/devicereset.yaml --for=condition=Complete --timeout=30s", says("condition met")),
			run("kubectl get deviceresets -o wide", says("Cleared 1 alice")),
		}},
		{"The new phone gets in, and is bound.", []act{
			taro(newPhone).succeeds(`"enrolled":true`),
		}},
		{"The old phone may not come back.", []act{
			taro(oldPhone).isRefused(),
			run("kubectl wait relayuser/taro --for=jsonpath='{.status.lastFailure.reason}'=DeviceRevoked --timeout=10s"),
			run("kubectl get relayusers", says("Registered DeviceRevoked")),
		}},
	}
}

// copies is about what can be copied: the name by which a key is known, and nothing that opens.
func copies() []step {
	return []step{
		{"Somebody knows taro's password and the thumbprint of his phone's key, and reports it as a string. That is another device.", []act{
			func(ctx context.Context, c *cluster) error {
				thumbprint := fmt.Sprintf(`'$(%s --key=%s --thumbprint)'`, c.shortPath(c.tools.device), c.file(newPhone))
				return run(reports(c, "mobile", thumbprint), says("HTTP 401"), says(`"code":293`))(ctx, c)
			},
			run("kubectl wait relayuser/taro --for=jsonpath='{.status.lastFailure.reason}'=DeviceMismatch --timeout=10s"),
		}},
	}
}

func afterwards() []step {
	const sidecar = "--as=system:serviceaccount:" + namespace + ":asp1-sidecar"
	return []step{
		{"The same reset, deleted and applied again as GitOps may do, changes nothing: the new phone stays.", []act{
			run("kubectl delete -f config/samples/devicereset.yaml", says("deleted")),
			run("kubectl apply -f config/samples/devicereset.yaml", says("created")),
			run("kubectl wait -f config/samples/devicereset.yaml --for=condition=Complete --timeout=30s", says("condition met")),
			run("kubectl get deviceresets", says("AlreadyHandled 0")),
			taro(newPhone).succeeds(`"enrolled":false`),
		}},
		{"Who takes the sidecar over can read no Secret but those it needs.", []act{
			runExpecting(1, "kubectl --context=admin auth can-i list secrets "+sidecar, says("no")),
			runExpecting(1, "kubectl --context=admin auth can-i get secret/taro-password "+sidecar, says("no")),
			run("kubectl --context=admin auth can-i get secret/asp1-keys "+sidecar, says("yes")),
		}},
	}
}

// history is what is left of all this.
func history(c *cluster) []step {
	return []step{
		{"What was kept of all this is one record an attempt, outside etcd, and read with kubectl.", []act{
			eventually("kubectl get userusages", says("7 4")),
			run("kubectl get accessrecords", says("UnknownUser"), says("DeviceRevoked"), says("Success")),
			run("kubectl get accessrecords --field-selector user=taro,result=Failure,reason=PasswordMismatch -o wide", says("PasswordMismatch")),
		}},
		{"A ticket quotes the correlation ID that the person was shown. It names the record.", []act{
			run(fmt.Sprintf(`kubectl get accessrecord $(sed -n 's/.*"correlationID":"\([^"]*\)".*/\1/p' %s) -o jsonpath='{.reason}{"\t"}{.sourceAddress}{"\n"}'`, c.file("another-phone")),
				says("DeviceMismatch")),
		}},
		{"The plugin has the manual's page: taro's attempts, his total on top, in English or Japanese.", []act{
			run("kubectl relay history taro", says("taro")),
			run("kubectl relay history taro --result failure --lang ja", says("失敗")),
		}},
		{"And it says in a sentence why he was refused last, and that nothing is left to do.", []act{
			run("kubectl relay why taro", says("taro has logged in since")),
		}},
	}
}
