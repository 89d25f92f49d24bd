using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;

namespace MemSim;

/// <summary>Why an address cannot be used.</summary>
public enum PageFaultReason
{
    /// <summary>An entry on the way is not present.</summary>
    NotPresent,

    /// <summary>The mapping exists but does not allow the access.</summary>
    Protection,

    /// <summary>An entry has bits set that the hardware reserves.</summary>
    ReservedBits,

    /// <summary>The address has more bits than are translated (x86: general protection fault, arm64: level 0 translation fault).</summary>
    NotCanonical,

    /// <summary>An entry, or the mapping, leads to a physical address at which the machine has no memory (machine check, external abort).</summary>
    NoMemory,
}

/// <summary>A fault that the MMU raises.</summary>
/// <param name="Address">The address used (CR2, FAR_EL1).</param>
/// <param name="Access">What was attempted.</param>
/// <param name="User">Whether user code attempted it.</param>
/// <param name="Reason">Why it failed.</param>
/// <param name="Level">The level at which the walk ended: 1 maps 4 KiB pages; 0 when there was no walk.</param>
/// <param name="Code">The x86 error code, or the arm64 ESR_EL1.</param>
/// <param name="IsArm64">Which of the two <see cref="Code"/> is.</param>
public readonly record struct PageFault(VirtualAddress Address, MemoryAccess Access, bool User, PageFaultReason Reason, int Level, uint Code, bool IsArm64)
{
    /// <summary>The arm64 exception class (ESR bits 31 to 26); 0 on x86.</summary>
    public int ExceptionClass => IsArm64 ? (int)(Code >> 26) : 0;

    /// <summary>The arm64 fault status (ESR bits 5 to 0); 0 on x86.</summary>
    public int FaultStatus => IsArm64 ? (int)(Code & 63) : 0;

    /// <summary>Whether the hardware says it was a write (x86 bit 1, arm64 WnR).</summary>
    public bool IsWrite => (Code & (IsArm64 ? 1u << 6 : 2u)) != 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static PageFault X86(ulong address, MemoryAccess access, bool user, PageFaultReason reason, int level, bool reportsFetch)
    {
        uint code = reason == PageFaultReason.Protection ? 1u : reason == PageFaultReason.ReservedBits ? 9u : 0;
        code |= access == MemoryAccess.Write ? 2u : 0;
        code |= user ? 4u : 0;
        code |= access == MemoryAccess.Execute && reportsFetch ? 16u : 0;
        code = reason == PageFaultReason.NotCanonical ? 0 : code;
        return new PageFault(new VirtualAddress(address), access, user, reason, level, code, false);
    }

    internal static PageFault Arm64(ulong address, MemoryAccess access, bool user, PageFaultReason reason, int level)
    {
        uint exceptionClass = (access == MemoryAccess.Execute ? 0x20u : 0x24u) + (user ? 0u : 1u);
        uint armLevel = level == 0 ? 0 : (uint)(4 - level);
        uint status = reason switch
        {
            PageFaultReason.Protection => 0b001100 + armLevel,
            PageFaultReason.NoMemory => 0b010000,
            _ => 0b000100 + armLevel,
        };
        uint write = access == MemoryAccess.Write ? 1u << 6 : 0;
        return new PageFault(new VirtualAddress(address), access, user, reason, level, (exceptionClass << 26) | (1 << 25) | write | status, true);
    }

    /// <summary>The fault in the words of a kernel's report.</summary>
    public override string ToString()
    {
        StringBuilder text = new();
        if (IsArm64)
        {
            text.Append(CultureInfo.InvariantCulture, $"Unable to handle kernel {(Address.Value < 4096 ? "NULL pointer dereference" : Access switch { MemoryAccess.Write => "write to", MemoryAccess.Execute => "execute from", _ => "read from" } + " unreadable memory")} at virtual address {Address}\n");
            text.Append(CultureInfo.InvariantCulture, $"  ESR = 0x{Code:x16}\n  EC = 0x{ExceptionClass:x2}: {(Access == MemoryAccess.Execute ? "IABT" : "DABT")} ({(User ? "lower" : "current")} EL), FSC = 0x{FaultStatus:x2}: {Describe()}\n");
            return text.ToString();
        }

        if (Reason == PageFaultReason.NotCanonical)
        {
            return string.Create(CultureInfo.InvariantCulture, $"general protection fault, probably for non-canonical address 0x{Address}: 0000\n");
        }

        if (Reason == PageFaultReason.NoMemory)
        {
            return string.Create(CultureInfo.InvariantCulture, $"mce: [Hardware Error]: Machine check: no memory answers for address {Address}\n");
        }

        text.Append(CultureInfo.InvariantCulture, $"BUG: {(Address.Value < 4096 ? "kernel NULL pointer dereference, address" : "unable to handle page fault for address")}: {Address}\n");
        text.Append(CultureInfo.InvariantCulture, $"#PF: {(User ? "user" : "supervisor")} {(Access switch { MemoryAccess.Write => "write access", MemoryAccess.Execute => "instruction fetch", _ => "read access" })} in {(User ? "user" : "kernel")} mode\n");
        text.Append(CultureInfo.InvariantCulture, $"#PF: error_code(0x{Code:x4}) - {Describe()}\n");
        return text.ToString();
    }

    private string Describe() => Reason switch
    {
        PageFaultReason.Protection => "permissions violation",
        PageFaultReason.ReservedBits => "reserved bit violation",
        PageFaultReason.NoMemory => "no memory at the physical address",
        _ => "not-present page",
    };
}

/// <summary>A fault that nobody handled: what a real kernel answers with an oops. Nothing was read or written at the address.</summary>
public class PageFaultException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="fault">The fault.</param>
    /// <param name="report">More about it: the walk.</param>
    public PageFaultException(PageFault fault, string report)
        : base(fault.ToString() + report)
    {
        Fault = fault;
    }

    /// <summary>The fault.</summary>
    public PageFault Fault { get; }
}

/// <summary>Handles faults of memory accesses: what the kernel's page fault handler does.</summary>
public interface IPageFaultHandler
{
    /// <summary>Repairs what a fault complains about, if it can.</summary>
    /// <param name="cpu">The CPU that faulted.</param>
    /// <param name="fault">The fault.</param>
    /// <returns>True to try the access again; false for an oops.</returns>
    bool Handle(Cpu cpu, in PageFault fault);
}
