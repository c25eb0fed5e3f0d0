package reset

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/screen"
)

// maxShown is how many users of a batch are shown one by one.
const maxShown = 20

// name is the DeviceReset's: whose, which slots, and something that makes it another than the last one's.
func (o *options) name(users []v1alpha1.RelayUser) string {
	name := "batch"
	if o.who != "" {
		name = users[0].Name
	}
	for _, slot := range o.slots {
		name += "-" + string(slot)
	}
	return name + "-" + strings.ToLower(rand.Text()[:8])
}

// showPlan shows what is so, and what will be.
func (o *options) showPlan(ctx context.Context, users []v1alpha1.RelayUser) error {
	o.warnOfServers(ctx, users)
	table := &screen.Table{Headings: []string{
		o.Lang.Of("USER", "ユーザ名"), o.Lang.Of("SLOT", "端末"), o.Lang.Of("DEVICE AUTHENTICATION", "端末認証 情報"), o.Lang.Of("SINCE", "登録日時"),
	}}
	for i := range users[:min(len(users), maxShown)] {
		for _, slot := range o.slots {
			o.planSlot(table, &users[i], slot)
		}
	}
	if err := o.Terminal.Print(table, ""); err != nil {
		return err
	}
	if more := len(users) - maxShown; more > 0 {
		if err := o.Terminal.Printf(o.Lang.Of("… and %d more users\n", "… ほか %d ユーザ\n"), more); err != nil {
			return err
		}
	}
	return o.showNext(len(users))
}

// planSlot is 登録済み → 初期化されます.
func (o *options) planSlot(table *screen.Table, user *v1alpha1.RelayUser, slot v1alpha1.Slot) {
	status := slotOf(user, slot)
	since := "-"
	if status.Binding != nil {
		since = o.Lang.Time(o.Local(status.Binding.RegisteredTime.Time))
	}
	var becomes string
	switch {
	case status.Binding != nil && o.next != "":
		becomes = o.Lang.Of(" -> will be cleared, and reserved", " → 初期化され、次の端末用に予約されます")
	case status.Binding != nil:
		becomes = o.Lang.Of(" -> will be cleared", " → 初期化されます")
	case o.next != "":
		becomes = o.Lang.Of(" -> will be reserved", " → 次の端末用に予約されます")
	case status.State == v1alpha1.SlotReserved:
		becomes = o.Lang.Of(" -> the reservation will be lifted", " → 予約が解除されます")
	default:
		becomes = o.Lang.Of(" (nothing to clear)", "（変更はありません）")
	}
	table.Cells(screen.Cell{Text: user.Name}, screen.Cell{Text: o.Lang.Slot(slot)},
		screen.Cell{Text: o.Lang.SlotState(status.State) + becomes, Whole: true}, screen.Cell{Text: since})
}

func slotOf(user *v1alpha1.RelayUser, slot v1alpha1.Slot) v1alpha1.SlotStatus {
	at := slices.IndexFunc(user.Status.Slots, func(s v1alpha1.SlotStatus) bool { return s.Slot == slot })
	if at < 0 {
		return v1alpha1.SlotStatus{}
	}
	return user.Status.Slots[at]
}

// showNext says who may register afterwards.
func (o *options) showNext(users int) error {
	next := o.Lang.Of("Afterwards any other device with the right password may register.", "初期化後は、正しいパスワードでログインした別の端末が登録されます。")
	if o.next != "" {
		next = o.Lang.Sprintf("Afterwards only the device %s may register.", "初期化後は、端末 %s のみ登録できます。", o.next)
	}
	previous := o.Lang.Of("The removed device may not come back.", "解除された端末は再登録できません。")
	if o.previous == "allow" {
		previous = o.Lang.Of("The removed device may register again.", "解除された端末も再登録できます。")
	}
	if users > 1 {
		next = o.Lang.Sprintf("%d users are concerned. ", "対象は %d ユーザです。", users) + next
	}
	return o.Terminal.Printf("%s %s\n", next, previous)
}

// warnOfServers tells of servers that are not ready: those may take each registered device for another.
func (o *options) warnOfServers(ctx context.Context, users []v1alpha1.RelayUser) {
	seen := map[string]bool{}
	for i := range users {
		name := users[i].Spec.ServerRef.Name
		if seen[name] {
			continue
		}
		seen[name] = true
		var server v1alpha1.RelayServer
		if o.client.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: name}, &server) != nil {
			continue // it is only a warning
		}
		ready := meta.FindStatusCondition(server.Status.Conditions, v1alpha1.ConditionReady)
		if ready != nil && ready.Status == metav1.ConditionFalse {
			o.Note(o.Lang.Of("WARNING: the server %s is not ready, and may take well devices for others. Mend it first: %s",
				"警告：サーバ %s に問題があり、登録済みの端末が別の端末と見なされている可能性があります。先に解決してください：%s"), name, ready.Message)
		}
	}
}
