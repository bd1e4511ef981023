//! Against the kernel's own controller family, which every kernel has, and against made up answers.

use super::*;

#[test]
fn the_kernel_knows_its_controller_and_refuses_what_is_not_there() {
    let mut connection = Connection::open().unwrap();
    assert_eq!(connection.family("nlctrl").unwrap(), 0x10);
    let refused = connection.family("NOT-THERE").unwrap_err();
    assert!(refused.leaves_nothing_behind() && !refused.is_passing());
    let fault = KernelFault::from(refused);
    assert_eq!((fault.errno, fault.text.as_str()), (Some(libc::ENOENT), "ENOENT"));
    // The socket is still in step after a refusal.
    assert_eq!(connection.family("nlctrl").unwrap(), 0x10);
}

/// The controller is no IPVS: it takes the change for a question about a family that is not there.
#[test]
fn a_row_of_changes_tells_each_that_was_refused() {
    let mut connection = Connection::open().unwrap();
    let key = lb_wire::ipvs::ServiceKey::Fwmark {
        family: lb_wire::ipvs::Family::V4,
        mark: 1,
    };
    let change = IpvsMessage::del_service(&key);
    for length in [0, 1, 3] {
        let mut refused = Vec::new();
        let row = vec![change.clone(); length];
        connection.execute(&row, 0x10, &mut refused).unwrap();
        let errnos: Vec<_> = refused.iter().map(|(at, fault)| (*at, fault.errno)).collect();
        let expected: Vec<_> = (0..length).map(|at| (at, Some(libc::ENOENT))).collect();
        assert_eq!(errnos, expected);
        // The socket is still in step.
        assert_eq!(connection.family("nlctrl").unwrap(), 0x10);
    }
}

#[test]
fn a_dump_lists_the_families() {
    let mut connection = Connection::open().unwrap();
    let request = GenlCtrl {
        cmd: GenlCtrlCmd::GetFamily,
        nlas: Vec::new(),
    };
    let families: Vec<GenlCtrl> = connection.dump(request, 0).unwrap();
    let name = GenlCtrlAttrs::FamilyName("nlctrl".to_owned());
    assert!(families.iter().any(|family| family.nlas.contains(&name)));
}

/// One message: header, then payload.
fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + payload.len()).unwrap();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

fn take(answer: &mut Answer<GenlCtrl>, datagram: &[u8]) -> Result<(), ExchangeError> {
    genl::decode(datagram).try_for_each(|message| answer.take(message))
}

const ERROR: u16 = 2;
const DONE: u16 = 3;

#[test]
fn answers_to_older_requests_are_passed_over() {
    let mut answer = Answer::new(7);
    let refusal = (-libc::EEXIST).to_ne_bytes();
    take(&mut answer, &message(ERROR, 0, 6, &refusal)).unwrap();
    assert!(!answer.complete);
    take(&mut answer, &message(ERROR, 0, 7, &[0; 4])).unwrap();
    assert!(answer.complete);
}

#[test]
fn a_refusal_has_its_errno_and_the_kernels_words() {
    let mut payload = (-libc::EINVAL).to_ne_bytes().to_vec();
    payload.extend([0; 16]);
    payload.extend([7, 0, 1, 0, b'n', b'o', 0, 0]);
    let flags = NLM_F_CAPPED | NLM_F_ACK_TLVS;
    let error = take(&mut Answer::new(1), &message(ERROR, flags, 1, &payload)).unwrap_err();
    let fault = KernelFault::from(error);
    assert_eq!(
        (fault.errno, fault.text.as_str()),
        (Some(libc::EINVAL), "EINVAL (no)")
    );
    let without = take(&mut Answer::new(1), &message(ERROR, NLM_F_CAPPED, 1, &payload));
    assert_eq!(KernelFault::from(without.unwrap_err()).text, "EINVAL");
}

#[test]
fn a_list_can_fail_at_its_end_and_be_interrupted_anywhere() {
    let mut answer = Answer::new(1);
    let failed = message(DONE, 0, 1, &(-libc::EMSGSIZE).to_ne_bytes());
    let fault = KernelFault::from(take(&mut answer, &failed).unwrap_err());
    assert_eq!(fault.text, "EMSGSIZE");
    let mut answer = Answer::new(1);
    take(&mut answer, &message(DONE, NLM_F_DUMP_INTR, 1, &[0; 4])).unwrap();
    assert!(answer.complete && answer.interrupted);
}

#[test]
fn what_does_not_fit_into_the_queue_is_lost_and_worth_another_try() {
    let overrun = message(4, 0, 1, &[]);
    let lost = take(&mut Answer::new(1), &overrun).unwrap_err();
    assert!(lost.is_passing() && !lost.leaves_nothing_behind());
    assert_eq!(KernelFault::from(lost).text, "receive: ENOBUFS");
}

#[test]
fn silence_ends_after_the_timeout() {
    let mut connection = Connection::open().unwrap();
    let short = Duration::from_millis(20);
    SockRef::from(&connection.socket)
        .set_read_timeout(Some(short))
        .unwrap();
    let error = connection.receive().unwrap_err();
    assert!(!error.leaves_nothing_behind() && !error.is_passing());
    assert_eq!(KernelFault::from(error).text, "receive: EAGAIN");
}
