using System.Diagnostics;
using System.Runtime.InteropServices;

namespace MemSim.Hardware;

/// <content>Contents in pieces, for hosts that cannot reserve address space: a browser has 4 GiB of it and takes what is reserved at once.</content>
internal sealed unsafe partial class PhysicalMemory
{
    /// <summary>A block of the largest order, so that nothing the page allocator hands out lies in two pieces.</summary>
    private const int PieceOfRamShift = PageGeometry.MaxOrder + PageGeometry.PageShift;
    private const ulong PieceOfRam = 1UL << PieceOfRamShift;

    private readonly nint[] _pieces = [];
    private nint _zeroes;

    /// <summary>How many bytes from an address on lie together in host memory, at most <paramref name="bytes"/>.</summary>
    /// <param name="address">The physical address of the first.</param>
    /// <param name="bytes">How many are wanted.</param>
    public int Together(ulong address, int bytes) => _pieces.Length == 0 ? bytes : (int)Math.Min((ulong)bytes, PieceOfRam - (address & (PieceOfRam - 1)));

    /// <summary>Where to read what was perhaps never written: zeroes then, and no memory is taken.</summary>
    private byte* PieceForReading(ulong address, ulong bytes)
    {
        // In range: the caller has compared the address and the length with Bytes.
        nint piece = _pieces[address >> PieceOfRamShift];
        if (piece == 0)
        {
            piece = _zeroes != 0 ? _zeroes : _zeroes = (nint)NativeMemory.AllocZeroed((nuint)PieceOfRam);
        }

        return InPiece(piece, address, bytes);
    }

    private byte* PieceForWriting(ulong address, ulong bytes)
    {
        ref nint piece = ref _pieces[address >> PieceOfRamShift];
        if (piece == 0)
        {
            nint fresh = (nint)NativeMemory.AllocZeroed((nuint)PieceOfRam);
            if (Interlocked.CompareExchange(ref piece, fresh, 0) != 0)
            {
                NativeMemory.Free((void*)fresh);
            }
        }

        return InPiece(piece, address, bytes);
    }

    private byte* InPiece(nint piece, ulong address, ulong bytes)
    {
        ulong offset = address & (PieceOfRam - 1);
        Debug.Assert(piece != 0 && address <= Bytes && bytes <= Bytes - address, "the caller has compared the range with all of memory");
        return offset + bytes <= PieceOfRam
            ? (byte*)piece + offset
            : throw new InvalidOperationException($"{bytes} bytes at 0x{address:x}: on this host contents of RAM lie together only within {PieceOfRam >> 20} MiB; read or write them in parts");
    }

    /// <summary>Contents are gone, but spans of them may be about.</summary>
    private void ClearPieces()
    {
        foreach (nint piece in _pieces)
        {
            if (piece != 0)
            {
                NativeMemory.Clear((void*)piece, (nuint)PieceOfRam);
            }
        }
    }

    private void FreePieces()
    {
        for (int i = 0; i < _pieces.Length; i++)
        {
            NativeMemory.Free((void*)_pieces[i]);
            _pieces[i] = 0;
        }

        if (_pieces.Length != 0)
        {
            NativeMemory.Free((void*)_zeroes);
            _zeroes = 0;
            Array.Clear(_touched);
        }
    }
}
