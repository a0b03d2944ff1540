*** Settings ***
Documentation     Audio of a device on a bench. The device is made of software here, so that this runs anywhere:
...               replace Start Sending by what starts yours, and the address by that of its stream.
Library           rtpverify.robot_library.RtpVerify    encoding=L24/48000/2    reference=tone:1283
...               evidence=${OUTPUT DIR}/evidence    max_stall_seconds=5

*** Variables ***
${STREAM}         rtp://127.0.0.1:5004

*** Test Cases ***
Audio Arrives As It Was Sent
    Start Verifying    ${STREAM}
    Start Sending    ${STREAM}
    Wait For Audio    timeout=10 s
    Audio Should Be Clean    after=1 s

Every Fault Is Found
    Start Verifying    ${STREAM}
    Start Sending    ${STREAM}    loss:at=0.3,packets=3    slip:at=0.6,frames=48    duration=0.9
    Wait Until Sent
    Faults Should Be    gap    slip

A Loss Is Allowed Where The Network Is Not Ours
    Start Verifying    ${STREAM}
    Start Sending    ${STREAM}    loss:at=0.3,packets=3    duration=0.6
    Wait Until Sent
    Audio Should Be Clean    gap
