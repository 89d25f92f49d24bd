using System.Globalization;
using System.Runtime.CompilerServices;
using MemSim.Lru;
using MemSim.PageCache;
using MemSim.Statistics;
using MemSim.VirtualMemory;

namespace MemSim.Faults;

/// <summary>What the processor's page-fault exception leads to (<c>exc_page_fault()</c>, arm64 <c>do_page_fault()</c>): finds the area, checks the access, expands stacks, sends signals.</summary>
internal sealed class PageFaultHandler(AddressSpaces spaces) : IPageFaultHandler
{
    private const uint X86Protection = 1;

    private readonly PageFaults _faults = spaces.Faults;

    public bool Handle(Cpu cpu, in PageFault fault)
    {
        using OwnersLock.Scope scope = spaces.EnterFault();
        _faults.Trace?.Emit(cpu, fault);
        if (_faults.Story is { } story)
        {
            story.Begin(Describe(fault));
        }

        Process? process = cpu.Current as Process;
        MemoryDescriptor? mm = process?.MmOrNull;
        ulong address = fault.Address.Value;
        if (process is null || mm is null || cpu.Context.InAtomic || cpu.UseMmu().Tables != mm.Tables)
        {
            // No user context, or one that must not sleep: the exception table, else an oops.
            _faults.Story?.Add("no address space to look in: fixed up by the exception table, or an oops");
            return false;
        }

        if (process.IsDying && fault.User)
        {
            return Die(cpu, process, fault);
        }

        if (fault.Reason is PageFaultReason.NotCanonical or PageFaultReason.NoMemory or PageFaultReason.ReservedBits)
        {
            return fault.User && Send(process, fault, fault.Reason == PageFaultReason.NoMemory ? Signal.SIGBUS : Signal.SIGSEGV, fault.Reason == PageFaultReason.NoMemory ? SignalCode.NoPage : SignalCode.Kernel);
        }

        if (spaces.Mmu.IsKernelAddress(address) || address >= spaces.Addresses.TaskSize)
        {
            _faults.Story?.Add("an address of the kernel");
            return fault.User && Send(process, fault, Signal.SIGSEGV, SignalCode.MapError);
        }

        Vma? vma = mm.Find(address);
        if (vma is null)
        {
            return Bad(process, fault, SignalCode.MapError, "BADMAP: no area at or above the address");
        }

        if (vma.StartValue > address)
        {
            if ((vma.Flags & VmaFlags.GrowsDown) == 0)
            {
                return Bad(process, fault, SignalCode.MapError, "BADMAP: the next area above does not grow down");
            }

            if (mm.ExpandStack(cpu, vma, address & ~(ulong)(PageGeometry.PageSize - 1)) != Errno.None)
            {
                return Bad(process, fault, SignalCode.MapError, "BADMAP: the stack may not grow that far");
            }

            TellExpansion(vma);
        }

        if (!MayAccess(vma, fault))
        {
            return Refused(process, fault, vma);
        }

        if (_faults.Story is not null)
        {
            TellArea(vma);
        }

        FaultFlags flags = (fault.Access == MemoryAccess.Write ? FaultFlags.Write : 0) | (fault.User ? FaultFlags.User : 0) | (fault.Access == MemoryAccess.Execute ? FaultFlags.Instruction : 0);
        FaultResult result = _faults.HandleFault(cpu, vma, address, flags);
        if ((result & FaultResult.Error) != 0)
        {
            if (process.IsDying && fault.User)
            {
                return Die(cpu, process, fault);
            }

            return Failed(process, fault, result);
        }

        if ((result & FaultResult.Retry) != 0)
        {
            return true;
        }

        if ((result & FaultResult.Major) != 0)
        {
            process.MajorFaults++;
            spaces.Machine.Events.Count(VmEvent.MajorFault);
            if (spaces.Machine.Hooks.Charges is not null)
            {
                spaces.Machine.Cgroups.Of(process.CgroupId).Count(Cgroups.CgroupStat.MajorFault, 1);
            }
        }
        else
        {
            process.MinorFaults++;
        }

        if (process.PagesOverHigh != 0)
        {
            spaces.Machine.Cgroups.HandleOverHigh(cpu, fault.Address.Value >> PageGeometry.PageShift);
        }

        // On the way back to user mode signals are looked at: who was killed meanwhile does not get there.
        return !process.IsDying || !fault.User || Die(cpu, process, fault);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void TellArea(Vma vma) => _faults.Story?.Add($"area {vma}");

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void TellExpansion(Vma vma) => _faults.Story?.Add($"stack expansion: the area begins at {vma.StartValue:x} now");

    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool Refused(Process process, in PageFault fault, Vma vma) => Bad(process, fault, SignalCode.AccessError, $"BADACCESS: {vma} does not allow it");

    private static bool MayAccess(Vma vma, in PageFault fault)
    {
        if (fault.IsArm64)
        {
            VmaFlags needed = fault.Access switch
            {
                MemoryAccess.Execute => VmaFlags.Exec,
                MemoryAccess.Write => VmaFlags.Write,
                _ => VmaFlags.Read | VmaFlags.Write | VmaFlags.Exec,
            };
            return (vma.Flags & needed) != 0;
        }

        if (fault.Access == MemoryAccess.Write)
        {
            return (vma.Flags & VmaFlags.Write) != 0;
        }

        // A read or fetch that met a present entry was refused for good: read-only entries are only ever refused writes.
        return (fault.Code & X86Protection) == 0 && (vma.Flags & (VmaFlags.Read | VmaFlags.Write | VmaFlags.Exec)) != 0;
    }

    /// <summary>The process was killed: it ends here, and the access with it.</summary>
    private bool Die(Cpu cpu, Process process, in PageFault fault)
    {
        SignalInfo info = process.DeathSignal == Signal.SIGKILL ? new(Signal.SIGKILL, SignalCode.None, fault.Address) : process.LastSignal!.Value;
        _faults.Story?.Add($"{process} was killed: it ends");
        process.LastSignal = info;
        process.Exit(cpu, new ExitStatus(0, process.DeathSignal));
        throw new SignalException(process, info, fault, "It was killed before it came back to its program.");
    }

    private bool Failed(Process process, in PageFault fault, FaultResult result)
    {
        if ((result & FaultResult.Oom) != 0)
        {
            _faults.Story?.Add("no memory");
            return fault.User && Send(process, fault, Signal.SIGKILL, SignalCode.OutOfMemory);
        }

        if ((result & FaultResult.HwPoison) != 0)
        {
            _faults.Story?.Add("the page is broken");
            return fault.User && Send(process, fault, Signal.SIGBUS, SignalCode.MemoryErrorActionRequired);
        }

        _faults.Story?.Add("no page behind the address");
        return fault.User && ((result & FaultResult.SigBus) != 0 ? Send(process, fault, Signal.SIGBUS, SignalCode.NoPage) : Send(process, fault, Signal.SIGSEGV, SignalCode.MapError));
    }

    private bool Bad(Process process, in PageFault fault, SignalCode code, string why)
    {
        _faults.Story?.Add(why);
        if (!fault.User)
        {
            _faults.Story?.Add("in kernel mode: the exception table, else an oops");
            return false;
        }

        return Send(process, fault, Signal.SIGSEGV, code);
    }

    /// <summary>Sends a signal; the process's own handler may repair things and have the access tried again.</summary>
    private bool Send(Process process, in PageFault fault, Signal signal, SignalCode code)
    {
        SignalInfo info = new(signal, code, fault.Address);
        _faults.Story?.Add($"{info}");
        process.LastSignal = info;
        if (signal != Signal.SIGKILL && process.SignalHandler is { } handler && handler(info))
        {
            return true;
        }

        throw new SignalException(process, info, fault, process.RunsOn is { } cpu ? cpu.Mmu.Explain(fault.Address, fault.Access).ToString() : "");
    }

    private static string Describe(in PageFault fault)
    {
        if (!fault.IsArm64)
        {
            return string.Create(CultureInfo.InvariantCulture, $"#PF at {fault.Address}: error code 0x{fault.Code:x} ({((fault.Code & 1) != 0 ? "protection" : "not present")}, {((fault.Code & 2) != 0 ? "write" : (fault.Code & 16) != 0 ? "fetch" : "read")}, {(fault.User ? "user" : "kernel")})");
        }

        string vector = fault.User ? "el0_sync" : "el1_sync";
        string what = fault.ExceptionClass is 0x20 or 0x21 ? "instruction abort" : "data abort";
        string status = (fault.FaultStatus & 0b111100) switch
        {
            0b000100 => "translation fault",
            0b001100 => "permission fault",
            0b001000 => "access flag fault",
            _ => "abort",
        };
        return string.Create(CultureInfo.InvariantCulture, $"{vector}: ESR 0x{fault.Code:x8}, EC 0x{fault.ExceptionClass:x2} ({what}), FSC 0x{fault.FaultStatus:x2} (level {fault.FaultStatus & 3} {status}), {(fault.IsWrite ? "write" : "read")} at FAR {fault.Address}");
    }
}
