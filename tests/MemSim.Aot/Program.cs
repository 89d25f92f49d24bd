using System.Diagnostics;
using System.Globalization;
using MemSim;
using MemSim.Observability;
using MemSim.Reports;
using MemSim.Testing;

// Boots 1 GiB and does a little of everything. .ci/run publishes it as native code and compares what it prints with what the runtime's compiler makes of it.
long began = Stopwatch.GetTimestamp();
using Machine machine = Machine.Boot(MachineSpec.X86_64("1G", cpus: 2));
TimeSpan boot = Stopwatch.GetElapsedTime(began);
Cpu cpu = machine.Cpus[0];
Console.Write(machine.Proc.BuddyInfo);
if (args is ["boot"])
{
    Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"boot {boot.TotalMilliseconds:F1} ms"));
    return;
}

// Objects, and who holds them.
machine.Leaks.Track();
AllocationMark mark = machine.Leaks.Mark();
using (cpu.CallSite("probe+0x12"))
{
    cpu.Kmalloc(100, Gfp.Kernel);
}

Console.WriteLine(machine.Leaks.Find(mark).Objects[0]);

// A process that wants more than there is: reclaim, swap, faults that bring pages back.
using EventRecorder recorder = machine.Record(events: TraceEvents.Reclaim | TraceEvents.Oom);
using BlockDevice disk = new("vdb", "256M");
machine.Swap.SwapOn(disk);
MemSim.Process hog = machine.CreateProcess("hog");
using (cpu.Run(hog))
{
    const long Pages = 270_000;
    VirtualAddress memory = hog.Mm.Mmap(Pages * 4096, Prot.Read | Prot.Write);
    for (long i = 0; i < Pages; i++)
    {
        cpu.Write(memory + (i * 4096), i);
    }

    Console.WriteLine(cpu.Read<long>(memory));
}

Console.Write(machine.Proc.Swaps);
Console.WriteLine($"{recorder.Count(RecordedKind.PageWritten)} pages written, {recorder.Count(RecordedKind.OomVictim)} victims");
hog.Exit();

// A fragmented machine, explained; the report that its kernel would print, read and explained again.
using MachineFixture fixture = Machines.Fragmented(order: 4);
Console.Write(fixture.Machine.Explain(Gfp.Atomic, order: 4));
fixture.Machine.Reports.KeepsAllocationFailures = true;
fixture.Cpu.AllocPages(Gfp.Atomic, order: 4);
Console.Write(ReportExplainer.Explain(KernelLog.Read(fixture.Machine.Reports.LastAllocationFailure!)[0]));

// A snapshot through a file.
string file = Path.GetTempFileName();
fixture.Machine.Snapshot().Save(file);
using Machine twin = MachineSnapshot.Load(file).Boot();
File.Delete(file);
Console.WriteLine(SnapshotDifference.Between(fixture.Machine, twin).IsEmpty);
twin.Verify();
machine.Verify();
